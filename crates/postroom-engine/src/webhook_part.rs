//! For which changes a definition of a webhook is in force.

use postroom_model::Entity;
use postroom_model::builtin::WEBHOOKS;
use postroom_store::EntityNews;

/// The part of a page for which a definition of a webhook is in force. It ends where the webhook
/// itself was changed or deleted, because what happened after that is for the next definition.
pub(crate) struct TellablePart<'a> {
    /// The changes, in their order.
    pub told: &'a [EntityNews],
    /// The number of the change of the webhook behind them. `None`: the whole page is told.
    pub changed_at: Option<i64>,
}

impl<'a> TellablePart<'a> {
    /// The part of `page` for which `webhook` is in force.
    pub(crate) fn of(page: &'a [EntityNews], webhook: &Entity) -> Self {
        let is_later = |news: &&EntityNews| {
            let row = &news.row;
            row.entity == webhook.id && row.class == WEBHOOKS && row.seq > webhook.seq
        };
        let changed_at = page.iter().find(is_later).map(|news| news.row.seq);
        let end =
            changed_at.map_or(page.len(), |seq| page.partition_point(|news| news.row.seq < seq));
        Self { told: page.get(..end).unwrap_or_default(), changed_at }
    }
}
