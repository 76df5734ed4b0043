//! The identity that a command uses: a bundle, an instance, or an agent with its user.

use secrecy::SecretString;

use super::client::Connection;
use super::failure::{Failure, shell_word};
use super::here::{self, BUNDLE_VAR, Choice};
use super::ui::Ui;
use crate::base::environment::Environment;
use crate::config::Config;
use crate::wire::SecretOutput;
use crate::wire::bundle::Bundle;
use crate::wire::launch::{Ready, Resolve};

/// The variables that tell the programs of a launch which identity they run under, apart from the bundle's.
const INSTANCE_VAR: &str = "SRVD_INSTANCE";
const AGENT_VAR: &str = "SRVD_AGENT";
const USER_VAR: &str = "SRVD_USER";
/// All of these variables.
pub(super) const MARKS: [&str; 4] = [BUNDLE_VAR, INSTANCE_VAR, AGENT_VAR, USER_VAR];

/// The arguments that name an identity.
#[derive(Debug, Default, clap::Args)]
pub(super) struct SubjectArgs {
    /// The bundle, by id or name; by default, the one that this directory is bound to (see: srvd use)
    #[arg(long, short)]
    pub(super) bundle: Option<String>,
    /// The agent, whose own credentials are used in place of a bundle
    #[arg(long, conflicts_with = "bundle")]
    agent: Option<String>,
    /// The user of the agent; without it, no user's credentials are used
    #[arg(long, requires = "agent")]
    user: Option<String>,
    /// The instance, by id, whose bundle is used
    #[arg(long, conflicts_with_all = ["bundle", "agent"])]
    instance: Option<String>,
}

/// The identity of a command.
#[derive(Debug)]
pub(super) enum Subject {
    /// A bundle, and the source of the choice.
    Bundle(Box<Bundle>, here::Source),
    /// An instance.
    Instance(String),
    /// An agent, and its user.
    Agent(String, Option<String>),
}

impl SubjectArgs {
    /// Returns the arguments that name a bundle.
    pub(super) fn of_bundle(bundle: String) -> Self {
        Self { bundle: Some(bundle), ..Self::default() }
    }

    /// Finds the identity: the one on the command line, else the one that this program was launched under, else the
    /// bundle of the directory.
    pub(super) async fn find(
        &self,
        daemon: &Connection,
        environment: &Environment,
        config: &Config,
        ui: &Ui,
    ) -> Result<Subject, Failure> {
        if let Some(subject) = self.without_bundle(environment) {
            return Ok(subject);
        }
        let choice: Choice = here::choose(self.bundle.as_deref(), environment, config, ui)?;
        let bundle = choice.find(daemon).await?;
        Ok(Subject::Bundle(Box::new(bundle), choice.source))
    }

    /// Returns the identity that this program was launched under, unless it is a bundle.
    pub(super) fn inherited(&self, environment: &Environment) -> Option<Subject> {
        self.without_bundle(environment)
    }

    fn without_bundle(&self, environment: &Environment) -> Option<Subject> {
        if let Some(agent) = &self.agent {
            return Some(Subject::Agent(agent.clone(), self.user.clone()));
        }
        if let Some(instance) = &self.instance {
            return Some(Subject::Instance(instance.clone()));
        }
        if self.bundle.is_some() || environment.text(BUNDLE_VAR).is_some() {
            return None;
        }
        let text = |name| environment.text(name).map(str::to_owned);
        let agent = text(AGENT_VAR).map(|agent| Subject::Agent(agent, text(USER_VAR)));
        agent.or_else(|| text(INSTANCE_VAR).map(Subject::Instance))
    }
}

impl Subject {
    /// Returns the request for a launch.
    pub(super) fn resolve(&self) -> Resolve {
        match self {
            Self::Bundle(bundle, _) => Resolve { bundle_id: Some(bundle.id.clone()), ..Resolve::default() },
            Self::Instance(id) => Resolve { instance_id: Some(id.clone()), ..Resolve::default() },
            Self::Agent(agent, user) => {
                Resolve { agent_id: Some(agent.clone()), user_id: user.clone(), ..Resolve::default() }
            }
        }
    }

    /// Returns the question whether a launch would succeed.
    pub(super) fn ready(&self) -> Ready {
        let Resolve { bundle_id, instance_id, agent_id, user_id, .. } = self.resolve();
        Ready { bundle_id, instance_id, agent_id, user_id, ..Ready::default() }
    }

    /// Returns the variables that tell the programs of a launch its identity.
    pub(super) fn marks(&self) -> Vec<(&'static str, SecretOutput)> {
        let plain = |text: &String| SecretOutput::from(SecretString::from(text.clone()));
        match self {
            Self::Bundle(bundle, _) => vec![(BUNDLE_VAR, plain(&bundle.id))],
            Self::Instance(id) => vec![(INSTANCE_VAR, plain(id))],
            Self::Agent(agent, user) => {
                let user = user.iter().map(|user| (USER_VAR, plain(user)));
                std::iter::once((AGENT_VAR, plain(agent))).chain(user).collect()
            }
        }
    }

    /// Names the bundle in the commands that a failure suggests by its name.
    pub(super) fn naming(&self, failure: Failure) -> Failure {
        match self {
            Self::Bundle(bundle, _) => failure.naming(bundle),
            Self::Instance(_) | Self::Agent(..) => failure,
        }
    }

    /// Names the bundle in the commands of a warning by its name.
    pub(super) fn named(&self, text: &str) -> String {
        match self {
            Self::Bundle(bundle, _) => {
                let (id, name) = (&bundle.id, shell_word(&bundle.name));
                text.replace(&format!("--bundle {id}"), &format!("--bundle {name}"))
            }
            Self::Instance(_) | Self::Agent(..) => text.to_owned(),
        }
    }

    /// Returns a word for the identity that a shell takes as it is.
    pub(super) fn label(&self) -> String {
        let name = match self {
            Self::Bundle(bundle, _) => &bundle.name,
            Self::Instance(name) | Self::Agent(name, _) => name,
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        name.chars().map(plain).collect()
    }

    /// Returns the identity for people.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Bundle(bundle, _) => bundle.name.clone(),
            Self::Instance(id) => format!("instance {id}"),
            Self::Agent(agent, None) => format!("agent {agent}"),
            Self::Agent(agent, Some(user)) => format!("agent {agent} of the user {user}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_identity_takes_precedence_over_the_outer_one() {
        let agent = Environment::of([("SRVD_AGENT", "coder".to_owned()), ("SRVD_USER", "u1".to_owned())]);
        let bundle = Environment::of([("SRVD_AGENT", "coder".to_owned()), ("SRVD_BUNDLE", "b1".to_owned())]);
        let found = |args: SubjectArgs, environment: &Environment| {
            args.without_bundle(environment).map(|subject| subject.title())
        };
        let named = |name: &str| SubjectArgs { agent: Some(name.to_owned()), ..SubjectArgs::default() };
        assert_eq!(found(SubjectArgs::default(), &agent).as_deref(), Some("agent coder of the user u1"));
        assert_eq!(found(named("other"), &agent).as_deref(), Some("agent other"));
        assert_eq!(found(SubjectArgs::default(), &bundle), None);
        let work = SubjectArgs { bundle: Some("work".to_owned()), ..SubjectArgs::default() };
        assert_eq!(found(work, &agent), None);
    }
}
