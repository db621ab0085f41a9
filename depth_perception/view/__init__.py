"""What a drive sees and says, in a browser: plain arrays -> Rerun. The one room that brings rerun."""
