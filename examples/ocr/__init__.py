"""Two services that read text from pictures of pages: Tesseract, and a neural engine (RapidOCR)."""
