//! The custom resource: what a platform team writes (`spec`) and what the operator reports (`status`).
//!
//! These types are the only source of the `CustomResourceDefinition` (see [`crate::api::crd`]). `kubectl explain` shows
//! their doc comments, so the comments address the reader of a manifest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::condition::{READY, Reason};

/// The finalizer of a plan. The operator adds it just before the first create request (or adoption), and removes it
/// once the contract is abolished or retained, or if nothing was bought.
pub const CONTRACT_FINALIZER: &str = "fic.ntt.com/contract";

/// The annotation with the UID of the plan that opened the record. Together with the finalizer it is the record. A copy
/// of a plan carries the UID of the original, so it has no record.
pub const OWNER_UID: &str = "fic.ntt.com/owner-uid";

/// The annotation whose change requests a reconcile at once.
pub const RECONCILE_REQUESTED_AT: &str = "fic.ntt.com/reconcile-requested-at";

/// How many bytes of that annotation are kept. An annotation may have 256 KiB.
pub const MAX_REQUEST_LENGTH: usize = 256;

/// PremiumSupportPlan is the Premium support contract of one FIC tenant. Creating the plan buys the contract.
/// Deleting the plan abolishes the contract. The policies below can change both.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "fic.ntt.com",
    version = "v1beta1",
    kind = "PremiumSupportPlan",
    namespaced,
    status = "PremiumSupportPlanStatus",
    shortname = "psplan",
    category = "fic",
    selectable = ".spec.tenantID",
    derive = "PartialEq",
    doc = "PremiumSupportPlan is the Premium support contract of one tenant of NTT's Flexible InterConnect (FIC).",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Contract", type_ = "string", json_path = ".status.id"),
    printcolumn(name = "Menu", type_ = "string", json_path = ".status.currentMenu"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantID", priority = 1),
    printcolumn(name = "Operation", type_ = "string", json_path = ".status.operationStatus", priority = 1),
    printcolumn(name = "Since", type_ = "string", json_path = ".status.menus[0].menuStartDate", priority = 1),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::duplicated_attributes, reason = "columns may share type and priority")]
#[x_kube(validation = Rule::new("!(self.managementPolicy == 'Observe' && self.adoptionPolicy == 'IfPresent')")
    .message("managementPolicy Observe only reports and cannot adopt: set adoptionPolicy to Never, or managementPolicy to Manage"))]
pub struct PremiumSupportPlanSpec {
    /// The ID of the FIC tenant (project) that owns the contract: 32 lower-case hexadecimal digits. Immutable. For
    /// another tenant, create another plan.
    #[serde(rename = "tenantID")]
    #[schemars(regex(pattern = r"^[0-9a-f]{32}$"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("tenantID cannot be changed: a contract belongs to one tenant; delete this plan and create another"))]
    pub tenant_id: String,

    /// The Secret with the API key of the tenant. It must be in the namespace of the plan, have the type
    /// fic.ntt.com/credentials, and have the keys apiKey and apiSecret.
    pub credentials_secret_ref: CredentialsSecretRef,

    /// The support menu of the contract. PremiumPlan is the only menu. Immutable.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("menu cannot be changed: FIC has no call that changes it; delete this plan and create another"))]
    pub menu: Menu,

    /// Manage: the operator creates the contract and keeps it. Observe: the operator only reports the contract of the
    /// tenant. It never creates or abolishes one.
    #[serde(default)]
    pub management_policy: ManagementPolicy,

    /// What to do with a contract that this plan did not create. Never: do not change it, and report it. IfPresent:
    /// adopt it. From then on it belongs to this plan, and deleting the plan abolishes it (see deletionPolicy). Cannot
    /// be combined with managementPolicy Observe.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,

    /// What to do when the contract was abolished outside of Kubernetes. IfLost: buy it again. Never: do not buy it
    /// again, and report it.
    #[serde(default)]
    pub recreation_policy: RecreationPolicy,

    /// What happens to the contract when the plan is deleted. Delete: the operator abolishes it. Retain: it stays at
    /// FIC, and you continue to pay for it. Set Retain on a plan that is already being deleted to remove the plan at
    /// once, unless it is suspended.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// While true the operator sends no requests for the plan and changes nothing, also while the plan is being
    /// deleted.
    #[serde(default)]
    pub suspend: bool,
}

/// Whether the schema accepts this text as the ID of a tenant.
#[must_use]
pub fn is_tenant_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A reference to the credentials Secret in the namespace of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialsSecretRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// A support menu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Menu {
    #[default]
    #[allow(missing_docs, reason = "a doc comment here would make the schema of the enum non-structural")]
    PremiumPlan,
}

impl Menu {
    /// The name of the menu in the FIC API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PremiumPlan => "PremiumPlan",
        }
    }
}

macro_rules! policy {
    ($(#[$doc:meta])* $name:ident { $default:ident, $other:ident }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[allow(missing_docs, reason = "the field of the spec documents each value, for kubectl explain")]
        pub enum $name {
            #[default]
            $default,
            $other,
        }
    };
}

policy!(/// Whether the operator may create and abolish the contract.
    ManagementPolicy { Manage, Observe });
policy!(/// Whether the operator adopts a contract that the plan did not create.
    AdoptionPolicy { Never, IfPresent });
policy!(/// Whether the operator buys a lost contract again.
    RecreationPolicy { IfLost, Never });
policy!(/// Whether the operator abolishes the contract when the plan is deleted.
    DeletionPolicy { Delete, Retain });

/// What the operator last observed and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PremiumSupportPlanStatus {
    /// The generation of the spec that this status reports on. -1 before the first report.
    pub observed_generation: Option<i64>,

    /// The ID of the contract at FIC.
    pub id: Option<String>,

    /// The UID of this plan, while the contract with this ID belongs to the plan. Absent while the plan only reports
    /// the contract.
    #[serde(rename = "ownerUID")]
    pub owner_uid: Option<String>,

    /// When the operator last decided to buy a lost contract again. All plans together may do that only a limited
    /// number of times in an hour.
    pub last_recreation_time: Option<Time>,

    /// The state of the last operation on the contract, as FIC reports it, such as Processing, Completed
    /// or Error.
    pub operation_status: Option<String>,

    /// The current menu of the contract.
    pub current_menu: Option<String>,

    /// The menus of the contract, each with its start date.
    pub menus: Option<Vec<ContractMenu>>,

    /// The last value of the annotation fic.ntt.com/reconcile-requested-at that the operator handled.
    pub last_handled_reconcile_at: Option<String>,

    /// Ready is present from the first report on. Reconciling (the operator continues by itself) and Stalled (a person
    /// must act) are present only while True.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl PremiumSupportPlan {
    /// Whether the plan carries the finalizer of the operator.
    #[must_use]
    pub fn has_contract_finalizer(&self) -> bool {
        self.finalizers().iter().any(|name| name == CONTRACT_FINALIZER)
    }

    /// Whether the annotation of the record names this plan.
    #[must_use]
    pub fn is_marked_as_owner(&self) -> bool {
        self.metadata.uid.is_some() && self.annotations().get(OWNER_UID) == self.metadata.uid.as_ref()
    }

    /// Whether the status says that the contract with its id belongs to this plan.
    #[must_use]
    pub fn owns_reported_contract(&self) -> bool {
        let owner = self.status.as_ref().and_then(|status| status.owner_uid.as_ref());
        self.metadata.uid.is_some() && owner == self.metadata.uid.as_ref()
    }

    /// Whether the API server has marked the plan for deletion.
    #[must_use]
    pub fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// The value of the annotation that requests a reconcile, as far as the operator keeps it.
    #[must_use]
    pub fn reconcile_requested_at(&self) -> Option<&str> {
        let value = self.annotations().get(RECONCILE_REQUESTED_AT)?;
        Some(&value[..value.floor_char_boundary(MAX_REQUEST_LENGTH)])
    }

    /// The `Ready` condition of the status.
    #[must_use]
    pub fn ready_condition(&self) -> Option<&Condition> {
        self.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == READY)
    }

    /// The reason of the `Ready` condition. `None` also where another version of the operator wrote it.
    #[must_use]
    pub fn reported_reason(&self) -> Option<Reason> {
        Reason::parse(&self.ready_condition()?.reason)
    }
}

/// A menu of the contract with its start date.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContractMenu {
    /// The name of the menu.
    pub menu: String,
    /// The start date, as FIC reports it.
    pub menu_start_date: Option<String>,
}
