"""The payee hop: its walk and its rows; reads frames, enters the account's room for what a verdict means alone."""
