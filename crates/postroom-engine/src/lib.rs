//! The processor: supervisor, survey, the receive path and the send path.
