"""What a finished run is used for: predictions and exports."""
