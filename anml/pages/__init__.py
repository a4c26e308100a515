"""What pages share: checked parameters, pictures, sheets, scoreboards, what a rerun should give."""
