//! What happens to something that must reach a target: attempts, backoff, giving up, history.
