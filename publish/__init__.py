"""What is made from the notebooks and never committed: the site, the slides, the copies for students and teachers."""
