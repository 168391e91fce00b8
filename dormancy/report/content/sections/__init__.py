"""The chapters of a report: each module asks one question of the runs and answers it with figures."""
