//! The handler on hyper and on `lambda_runtime`, and the pooled HTTP client: thin shells around bytes.
