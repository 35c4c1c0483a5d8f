"""A newcomer's first hour: what one log file can and cannot measure, what judging costs, a first catalog."""
