//! Rows on disk and in memory. Knows nothing of what the rows mean.
