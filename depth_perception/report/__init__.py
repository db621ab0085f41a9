"""Pictures for people: depth, bird's-eye view, trajectories, and a page that shows them."""
