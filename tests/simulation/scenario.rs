//! Scenarios: what a simulation run is mainly about. The seed selects the scenario.

/// The order of the variants decides which seed runs which scenario: keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scenario {
    Calm,
    Crashes,
    LostResponses,
    ApiServerFaults,
    LaggingReads,
    Portal,
    Edits,
    CompetingTenants,
    Secrets,
    LeaderChanges,
    Uninstall,
    NamespaceDeletion,
    FailingTenant,
    AllFaults,
    ChangedRecords,
    MassLoss,
    RefusedWrites,
    Panics,
    TwoLeaders,
    Shards,
}

impl Scenario {
    const ALL: [Self; 20] = [
        Self::Calm,
        Self::Crashes,
        Self::LostResponses,
        Self::ApiServerFaults,
        Self::LaggingReads,
        Self::Portal,
        Self::Edits,
        Self::CompetingTenants,
        Self::Secrets,
        Self::LeaderChanges,
        Self::Uninstall,
        Self::NamespaceDeletion,
        Self::FailingTenant,
        Self::AllFaults,
        Self::ChangedRecords,
        Self::MassLoss,
        Self::RefusedWrites,
        Self::Panics,
        Self::TwoLeaders,
        Self::Shards,
    ];

    pub fn of(seed: u64) -> Self {
        let index = usize::try_from(seed % Self::ALL.len() as u64).unwrap();
        Self::ALL[index]
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Crashes => "crashes",
            Self::LostResponses => "lost responses",
            Self::ApiServerFaults => "API server faults",
            Self::LaggingReads => "lagging reads",
            Self::Portal => "portal",
            Self::Edits => "edits",
            Self::CompetingTenants => "competing tenants",
            Self::Secrets => "Secrets",
            Self::LeaderChanges => "leader changes",
            Self::Uninstall => "uninstall",
            Self::NamespaceDeletion => "namespace deletion",
            Self::FailingTenant => "failing tenant",
            Self::AllFaults => "all faults",
            Self::ChangedRecords => "changed records",
            Self::MassLoss => "mass loss",
            Self::RefusedWrites => "refused writes",
            Self::Panics => "panics",
            Self::TwoLeaders => "two leaders",
            Self::Shards => "shards",
        }
    }
}
