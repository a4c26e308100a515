"""Everything that a profile asks for: jobs, their plan, worker processes, what is out of date."""
