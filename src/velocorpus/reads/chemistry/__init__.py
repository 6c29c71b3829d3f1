"""What reads are, told from the reads themselves: roles of files, chemistry, quality, duplicates."""
