//! The part of the binary that does no IO: what happens to what was read, as a step machine that a simulation can
//! drive. Everything that touches a disk, a socket or Kafka stays behind `main`.

pub mod machine;
