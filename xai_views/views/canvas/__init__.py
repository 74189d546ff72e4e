"""The canvas: all pictures of a page, scrubbed, composed and brushed in the browser."""
