"""What a person sees of a replay: the screen, the page, its charts."""
