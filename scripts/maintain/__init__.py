"""What maintainers run: generated pages and lists, images, locks."""
