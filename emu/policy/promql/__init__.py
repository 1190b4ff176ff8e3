"""The part of PromQL that triggers are written in, evaluated on scraped samples by Prometheus' rules. Pure: `parsing`
reads a query, `text` a scraped page, `series` keeps the samples, `evaluating` answers.
"""
