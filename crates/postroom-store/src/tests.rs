//! Tests of several modules together.

mod recording;

mod filled;

mod life;

mod explain;

mod explained;

mod own_index;

mod plans;

mod full_disk;
