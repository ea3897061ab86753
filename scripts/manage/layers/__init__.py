"""What holds the layers of values right before a chart is rendered."""
