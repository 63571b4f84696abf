"""Batches through Faust: the app, its transport and its assignor; the only room that imports Faust."""
