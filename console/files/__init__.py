"""Tables that people bring and take away: CSV and Excel files as rows of text, in whatever encoding. Knows no mail."""
