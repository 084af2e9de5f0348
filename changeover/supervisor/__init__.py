"""`changeover up` and `changeover demo`: start everything on one machine and keep it running."""
