//! Messages and streams of open corpora that lie beside the repository on some machines. A test
//! whose corpus is absent says so in a visible line, and counts as skipped.

mod place;

mod enmime;
mod mime4j;
mod net_imap;
mod tnef;
