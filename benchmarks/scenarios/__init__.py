"""How an engine behaves under the kinds of load that it meets: LoadGen's four scenarios, minutes of calls, many callers."""
