"""The corpus on disk: schema, writer, manifest, reader."""
