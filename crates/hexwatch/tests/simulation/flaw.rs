//! Protocols that are broken on purpose, to show that the simulation would notice.

/// What the driver does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// A table notes that its records are done in an entry before the one with their rows.
    OffsetsBeforeRows,
    /// The checkpoint is written before the tables.
    CheckpointBeforeTables,
    /// Sockets hear of an alarm before it is in the log.
    ToldBeforeLogged,
    /// The alarm log is written and never synced.
    LogNotSynced,
    /// Data files are named before they are synced.
    FilesNotSynced,
    /// A restart reads on where the last commit ended, without what duplicates and open windows need.
    MemoryNotRebuilt,
    /// A table takes whatever a writer hands in, whoever wrote to it in between.
    NobodyFenced,
    /// A commit does not wait for what is on its way to Kafka.
    CommitBeforeDelivery,
    /// A commit does not keep what was found of an alarm that is still in doubt.
    FindingsForgotten,
    /// A commit does not keep which late rows have yet to correct what was given.
    CorrectionsForgotten,
    /// Kafka is told of rows whose keys are not on the disk.
    RowsNotNoted,
    /// A restart does not take unfinished rows of derived tables back.
    NothingTakenBack,
    /// A restart notes told rows in the generation in which a dead process has noted some.
    GenerationUsedTwice,
}
