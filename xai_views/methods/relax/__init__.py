"""Method ``relax``: importance of each part of an input for its representation, with uncertainty."""
