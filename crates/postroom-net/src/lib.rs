//! Dialing, TLS and SASL.
