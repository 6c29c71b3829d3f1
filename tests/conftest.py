"""The order of the tests."""


def pytest_collection_modifyitems(items):
    # Nobody waits long for the worker that begins the last test: those of minutes come first.
    items.sort(key=lambda item: "workflow" not in item.path.parts)
