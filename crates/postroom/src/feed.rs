//! How long `serve` keeps the changes of the feed, and how many.

use anyhow::Context;
use clap::Args;
use postroom_store::FeedRetention;

/// How long the changes of the feed are kept, and how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Args)]
pub(crate) struct FeedArguments {
    /// How many days the feed keeps changes, 1 to 3650 (default: 7).
    #[arg(long, value_name = "DAYS")]
    pub feed_days: Option<u64>,
    /// How many changes the feed keeps at most, 1000 to 1000000000 (default: 10000000).
    #[arg(long, value_name = "COUNT")]
    pub feed_changes: Option<u64>,
}

impl FeedArguments {
    /// These, and those of the configuration file where an argument is missing.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            feed_days: self.feed_days.or(file.feed_days),
            feed_changes: self.feed_changes.or(file.feed_changes),
        }
    }

    /// What is kept.
    pub(crate) fn retention(self) -> anyhow::Result<FeedRetention> {
        FeedRetention::new(self.feed_days, self.feed_changes).context("the feed of changes")
    }
}
