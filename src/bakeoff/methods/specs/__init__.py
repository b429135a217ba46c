"""What describes each method without its code: options, titles, rates. A file per method."""
