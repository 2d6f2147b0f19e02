//! What connections of a dialer have in common.

use crate::proxy::Proxy;
use postroom_model::AddressRules;
use std::sync::Arc;

/// What connections of a dialer have in common. A kept connection is used again by a dialer of the
/// same manner alone.
#[derive(Debug, Clone)]
pub struct DialManner {
    /// Whether they lead to the public internet alone.
    pub(crate) is_public_only: bool,
    /// Which addresses they may lead to. `None`: any.
    pub(crate) rules: Option<Arc<AddressRules>>,
    /// What they go through.
    pub(crate) proxy: Option<Arc<Proxy>>,
}

impl PartialEq for DialManner {
    fn eq(&self, other: &Self) -> bool {
        // The password of a proxy is compared with nothing: another one makes another proxy.
        let is_same_proxy = match (&self.proxy, &other.proxy) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        is_same_proxy && self.is_public_only == other.is_public_only && self.rules == other.rules
    }
}
