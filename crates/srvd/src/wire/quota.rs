//! `quota.*`: what is left of the limits of subscriptions, as the CLIs of the logins tell it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{method, words};

/// Lists the limits of all logins whose CLIs tell them. A figure that is too old is asked for in the background.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListQuotas")]
pub(crate) struct List {
    /// The provider, by id or alias; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}
method!(
    List,
    "quota.list",
    Quotas,
    "Lists what is left of the limits of CLI logins. Old figures are asked for in the background."
);

/// Reads the limits of one login.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GetQuota")]
pub(crate) struct Get {
    /// The account's id.
    pub account_id: String,
}
method!(Get, "quota.get", Quota, "Reads what is left of the limits of one CLI login.");

/// Asks the CLIs for the limits now, if the last answer is older than three minutes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RefreshQuotas")]
pub(crate) struct Refresh {
    /// The account's id; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
}
method!(
    Refresh,
    "quota.refresh",
    Quotas,
    "Asks the CLIs what is left of the limits, at most once in three minutes for each login.",
    seconds = 120
);

/// The limits of logins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quotas {
    /// The version of this form.
    pub schema_version: u32,
    /// The logins.
    pub quotas: Vec<Quota>,
}

/// The limits of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quota {
    /// The account's id.
    pub account_id: String,
    /// Canonical provider id.
    pub provider_id: String,
    /// The state of the tightest window.
    pub state: QuotaState,
    /// The reason why nothing newer is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The kind of payment, as far as it is known.
    pub billing: Billing,
    /// The name of the subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The windows.
    pub windows: Vec<Window>,
    /// The time of the figures, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<i64>,
    /// The source of the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A window of time with a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "QuotaWindow")]
pub(crate) struct Window {
    /// The name, such as `5h` or `7d:sonnet`.
    pub key: String,
    /// The length, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// The used share in percent; `null` if the window has started again since the figure was measured.
    pub used_percent: Option<u8>,
    /// The time at which the window starts again, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<i64>,
    /// True if a week's share is used faster than the week passes, by 15 points or more.
    pub ahead: bool,
}

words! {
    /// The state of a limit.
    QuotaState {
        /// Less than 80 percent are used.
        Fine = "fine",
        /// 80 percent or more are used.
        Near = "near",
        /// Nothing is left.
        Spent = "spent",
        /// The limits are not known.
        Unknown = "unknown",
    }
}

words! {
    /// The kind of payment for an account.
    Billing {
        /// A subscription, through a login of the CLI.
        Subscription = "subscription",
        /// A subscription, through a token that its CLI made.
        SetupToken = "setup_token",
        /// An API key.
        Key = "key",
        /// An API key at another address than the provider's.
        Gateway = "gateway",
        /// Not known.
        Unknown = "unknown",
    }
}

/// Ranks the logins of a provider by what is left of their limits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suggest {
    /// The provider, by id or alias.
    pub provider_id: String,
}
method!(
    Suggest,
    "launch.suggest",
    Suggestions,
    "Ranks the logins of a provider by what is left of their limits, the best first. It is advice: nothing is switched."
);

/// The logins of a provider, the best first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suggestions {
    /// The logins.
    pub suggestions: Vec<Suggested>,
}

/// A login with the reason for its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suggested {
    /// The account's id.
    pub account_id: String,
    /// The bundles that bind the account.
    pub bundle_ids: Vec<String>,
    /// True if a launch can use the login.
    pub usable: bool,
    /// The reason for its place.
    pub reason: String,
    /// The remaining limits.
    pub quota: Quota,
}
