//! A leader that is frozen for longer than its lease sends no request when it continues.
//!
//! Each test makes one request of the leader hang, freezes the leader (SIGSTOP) and starts a second replica, which
//! acquires the lease and finishes the work. Then the first replica continues (SIGCONT).

use std::time::Instant;

use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::{Call, Entry};
use serde_json::json;

use crate::support::TestEnvironment;
use crate::support::texts::log::{LEASE_LOST, WAITING_FOR_LEASE};

/// A leader that a test freezes, and later a second replica.
struct FrozenLeader {
    env: TestEnvironment,
    /// The index of the leader in `env.operators`.
    leader: usize,
}

impl FrozenLeader {
    /// Starts the leader.
    async fn start() -> Self {
        let mut env =
            TestEnvironment::without_operator().await.with_leader_election().with_flags(&["--request-timeout=60s"]);
        env.create_secret().await;
        let leader = env.start_operator().await;
        Self { env, leader }
    }

    /// Starts the leader, applies a plan and freezes the leader at the first of these calls.
    async fn at_first(call: Call) -> Self {
        let mut frozen = Self::start().await;
        frozen.hang(call, 0);
        frozen.env.apply("premium", json!({})).await;
        frozen.freeze_at(call, 1).await;
        frozen
    }

    /// After `skip` calls of this kind, the response to the next one is delayed by a second.
    fn hang(&self, call: Call, skip: u32) {
        let kind = Kind::Hang { ms: Some(1000), effect_first: true };
        self.env.simulator.fault(Fault { skip, ..Fault::once(call, &self.env.tenant, kind) });
    }

    /// FIC rejects the token of the next call of this kind. The leader then signs in and sends the call again.
    fn reject_token(&self, call: Call) {
        let kind = Kind::Status { code: 401, body: None, retry_after: None };
        self.env.simulator.fault(Fault::once(call, &self.env.tenant, kind));
    }

    /// Freezes the leader when the n-th call of this kind hangs, and starts the second replica.
    async fn freeze_at(&mut self, call: Call, nth: usize) {
        let was_sent = |log: &[Entry]| log.iter().filter(|entry| entry.call == call).count() >= nth;
        self.env.wait_for_requests("the request that hangs", was_sent).await;
        self.env.operators[self.leader].signal("STOP");
        self.env.start_operator().await;
    }

    /// The second replica finishes the create. Then the user deletes the plan.
    async fn second_replica_creates_the_contract(&self) {
        let began = Instant::now();
        self.env.wait_for_reason("premium", "Contracted").await;
        println!("the other replica had it Ready {:?} after the leader froze", began.elapsed());
        self.env.delete("premium").await;
    }

    /// The frozen leader continues after the second replica has abolished the contract. It loses the lease and sends
    /// nothing. Then the same plan is applied and deleted again. `creates` and `deletes` are the requests of the whole
    /// test.
    async fn continue_and_check(self, creates: usize, deletes: usize) {
        let Self { env, leader } = self;
        env.wait_for_deletion("premium").await;
        env.operators[leader].signal("CONT");
        env.wait_until("the frozen leader to lose the lease and to wait for it again", || {
            let stands_by = waits_again_after_loss(&env.operators[leader].log());
            async move { stands_by }
        })
        .await;
        env.apply("premium", json!({})).await;
        env.wait_for_reason("premium", "Contracted").await;
        env.delete("premium").await;
        env.wait_for_deletion("premium").await;
        let summary = env.simulator.summary(&env.tenant);
        assert_eq!((summary.creates_sent, summary.deletes_sent), (creates, deletes));
        assert_eq!((summary.creates_with_effect, summary.deletes_with_effect), (2, 2), "one for each apply");
    }
}

fn waits_again_after_loss(log: &str) -> bool {
    let lost_at = LEASE_LOST.iter().filter_map(|line| log.find(line)).min();
    lost_at.is_some_and(|lost_at| log[lost_at..].contains(WAITING_FOR_LEASE))
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_frozen_before_the_create_does_not_send_it_afterwards() {
    let frozen = FrozenLeader::at_first(Call::List).await;
    frozen.second_replica_creates_the_contract().await;
    frozen.continue_and_check(2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_frozen_during_the_create_does_not_send_another_one() {
    let frozen = FrozenLeader::at_first(Call::Create).await;
    frozen.second_replica_creates_the_contract().await;
    frozen.continue_and_check(2, 2).await;
}

/// The leader is frozen during the sign-in. The only step left is to send the create again.
#[tokio::test(flavor = "multi_thread")]
async fn leader_frozen_right_before_it_sends_the_create_does_not_send_it() {
    let mut frozen = FrozenLeader::start().await;
    frozen.reject_token(Call::Create);
    frozen.hang(Call::SignIn, 1);
    frozen.env.apply("premium", json!({})).await;
    frozen.freeze_at(Call::SignIn, 2).await;
    frozen.second_replica_creates_the_contract().await;
    // FIC rejected the token of the first create.
    frozen.continue_and_check(3, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_frozen_right_before_it_sends_the_delete_does_not_send_it() {
    let mut frozen = FrozenLeader::start().await;
    frozen.env.apply("premium", json!({})).await;
    frozen.env.wait_for_reason("premium", "Contracted").await;
    frozen.reject_token(Call::Delete);
    frozen.hang(Call::SignIn, 0);
    frozen.env.delete("premium").await;
    frozen.freeze_at(Call::SignIn, 2).await;
    // FIC rejected the token of the first delete.
    frozen.continue_and_check(2, 3).await;
}
