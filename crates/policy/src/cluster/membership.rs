//! Who belongs to the cluster, by the will of an operator.

use std::fmt;

use super::Cluster;
use super::member::Member;
use crate::topology::{Gate, NodeId};

/// A node as the configuration or the admin API names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Unique within the cluster.
    pub name: Box<str>,
    /// Host name or address.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// Share of reads, at least 1.
    pub weight: u32,
}

/// A change to a member; `None` leaves a part as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodePatch {
    /// New share of reads, at least 1.
    pub weight: Option<u32>,
    /// Drain or resume.
    pub gate: Option<Gate>,
}

/// Why a membership change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MembershipError {
    /// A node of that name is a member already.
    NameTaken,
    /// A node of that host and port is a member already.
    AddressTaken,
    /// No node of that name.
    NoSuchNode,
    /// The node is the primary: promote another one first.
    IsPrimary,
    /// A weight must be at least 1.
    BadWeight,
}

impl fmt::Display for MembershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameTaken => "a node of that name is a member already; choose another name",
            Self::AddressTaken => "a node of that host and port is a member already",
            Self::NoSuchNode => "no node of that name is a member",
            Self::IsPrimary => "the node is the primary; promote another one first",
            Self::BadWeight => {
                "a weight must be at least 1; drain the node to keep reads away from it"
            }
        })
    }
}

impl std::error::Error for MembershipError {}

impl Cluster {
    /// Adds a member, of which nothing is known until its first probe.
    ///
    /// # Errors
    ///
    /// [`MembershipError`] names what is wrong with the node; nothing was changed.
    pub fn add(&mut self, spec: NodeSpec) -> Result<NodeId, MembershipError> {
        if spec.weight == 0 {
            return Err(MembershipError::BadWeight);
        }
        if self.members.iter().any(|member| member.spec.name == spec.name) {
            return Err(MembershipError::NameTaken);
        }
        let same_address =
            |member: &Member| member.spec.host == spec.host && member.spec.port == spec.port;
        if self.members.iter().any(same_address) {
            return Err(MembershipError::AddressTaken);
        }
        let id = NodeId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        self.members.push(Member::new(id, spec));
        Ok(id)
    }

    /// Changes a member's weight or gate.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]: no such node, a weight of 0, or an attempt to drain the primary, which
    /// would leave writes without a place. Nothing was changed.
    pub fn patch(&mut self, name: &str, patch: NodePatch) -> Result<(), MembershipError> {
        let leader = self.leader_id();
        let member = self.members.iter_mut().find(|member| &*member.spec.name == name);
        let member = member.ok_or(MembershipError::NoSuchNode)?;
        if patch.weight == Some(0) {
            return Err(MembershipError::BadWeight);
        }
        if patch.gate == Some(Gate::Draining) && leader == Some(member.id) {
            return Err(MembershipError::IsPrimary);
        }
        member.spec.weight = patch.weight.unwrap_or(member.spec.weight);
        member.gate = patch.gate.unwrap_or(member.gate);
        Ok(())
    }

    /// Forgets a member; its number is never used again.
    ///
    /// A lost primary can be removed: it was the primary until another one is.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]: no such node, or it is the primary. Nothing was changed.
    pub fn remove(&mut self, name: &str) -> Result<(), MembershipError> {
        let position = self.members.iter().position(|member| &*member.spec.name == name);
        let position = position.ok_or(MembershipError::NoSuchNode)?;
        let leader = self.leader_id();
        if self.members.get(position).is_some_and(|member| Some(member.id) == leader) {
            return Err(MembershipError::IsPrimary);
        }
        self.members.remove(position);
        self.judge(self.now);
        Ok(())
    }

    /// The members' numbers, in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().map(|member| member.id)
    }

    /// The members as they were named, with the operator's will: what outlives a restart.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &NodeSpec, Gate)> + '_ {
        self.members.iter().map(|member| (member.id, &member.spec, member.gate))
    }
}
