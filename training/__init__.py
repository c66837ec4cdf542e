"""From labelled images to a promoted model with its report."""
