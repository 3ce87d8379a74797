//! The custom resource: what a platform team writes (`spec`) and what the operator answers (`status`).
//!
//! These types are the one source of the `CustomResourceDefinition` (see [`crate::api::crd`]); their doc comments are what
//! `kubectl explain` shows, so they speak to the reader of a manifest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The finalizer that a plan carries from just before its first create (or adoption) until its contract is gone.
pub const CONTRACT_FINALIZER: &str = "fic.ntt.com/contract";

/// The annotation whose change means "look now".
pub const RECONCILE_REQUESTED_AT: &str = "fic.ntt.com/reconcile-requested-at";

/// PremiumSupportPlan is the Premium support contract of one FIC tenant. Creating the plan buys the contract,
/// deleting the plan abolishes it, unless the policies below say otherwise.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "fic.ntt.com",
    version = "v1alpha1",
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
#[allow(clippy::duplicated_attributes, reason = "columns of the same type and priority are no repetition")]
#[x_kube(validation = Rule::new("!(self.managementPolicy == 'Observe' && self.adoptionPolicy == 'IfPresent')")
    .message("managementPolicy Observe only reports and cannot adopt: set adoptionPolicy to Never, or managementPolicy to Manage"))]
pub struct PremiumSupportPlanSpec {
    /// The FIC tenant (project) that the contract belongs to: 32 lower-case hexadecimal digits. Cannot be changed;
    /// for another tenant, create another plan.
    #[serde(rename = "tenantID")]
    #[schemars(regex(pattern = r"^[0-9a-f]{32}$"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("tenantID cannot be changed: a contract belongs to one tenant; delete this plan and create another"))]
    pub tenant_id: String,

    /// The Secret with the API key of the tenant: a Secret of the plan's own namespace, of type
    /// `fic.ntt.com/credentials`, with the keys `apiKey` and `apiSecret`.
    pub credentials_secret_ref: CredentialsSecretRef,

    /// The support menu to hold. PremiumPlan is the one there is. Cannot be changed.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("menu cannot be changed: FIC has no call that changes it; delete this plan and create another"))]
    pub menu: Menu,

    /// Manage: create the contract where there is none and keep it. Observe: only report what is there; never create,
    /// never delete.
    #[serde(default)]
    pub management_policy: ManagementPolicy,

    /// What to do with a contract that this plan did not create. Never: leave it alone and say so. IfPresent: take it
    /// over, from then on it is this plan's, and deleting the plan abolishes it (see deletionPolicy). Cannot be
    /// combined with managementPolicy Observe.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,

    /// What to do when the contract is gone outside of Kubernetes. IfLost: buy it again. Never: stop and tell.
    #[serde(default)]
    pub recreation_policy: RecreationPolicy,

    /// What happens to the contract when the plan is deleted. Delete: it is abolished. Retain: it stays, and goes on
    /// being paid for. May be set to Retain on a plan that is being deleted already, to let it go at once.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// While true the operator leaves the plan alone: no calls, no changes, also while the plan is being deleted.
    #[serde(default)]
    pub suspend: bool,
}

/// A reference to the credentials Secret, by name, in the namespace of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialsSecretRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// A support menu that can be bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Menu {
    #[default]
    #[allow(missing_docs, reason = "a doc comment here would make the schema of the enum non-structural")]
    PremiumPlan,
}

impl Menu {
    /// The word that FIC uses for this menu.
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
        #[allow(missing_docs, reason = "the meaning of each word stands with the field of the spec, for kubectl explain")]
        pub enum $name {
            #[default]
            $default,
            $other,
        }
    };
}

policy!(/// Whether the operator may change anything.
    ManagementPolicy { Manage, Observe });
policy!(/// Whether a contract that the plan did not create is taken over.
    AdoptionPolicy { Never, IfPresent });
policy!(/// Whether a contract that was lost is bought again.
    RecreationPolicy { IfLost, Never });
policy!(/// Whether the contract goes with the plan.
    DeletionPolicy { Delete, Retain });

/// What the operator last saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PremiumSupportPlanStatus {
    /// The generation of the spec that this status speaks of; -1 before the first report.
    pub observed_generation: Option<i64>,

    /// The id of the contract at FIC.
    pub id: Option<String>,

    /// The state of the contract as FIC says it: Processing, Completed, Error.
    pub operation_status: Option<String>,

    /// The menu that the contract is on.
    pub current_menu: Option<String>,

    /// The menus of the contract, each with the date it began.
    pub menus: Option<Vec<ContractMenu>>,

    /// The value of the annotation fic.ntt.com/reconcile-requested-at that was last acted on.
    pub last_handled_reconcile_at: Option<String>,

    /// Ready is always there; Reconciling (it goes on by itself) and Stalled (a person must act) only while True.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A resource version as a number, which is how versions of one object are compared.
#[must_use]
pub fn version(resource_version: Option<&str>) -> Option<u64> {
    resource_version?.parse().ok()
}

/// A menu of the contract and the date it began.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContractMenu {
    /// The menu.
    pub menu: String,
    /// The date it began, as FIC says it.
    pub menu_start_date: Option<String>,
}
