//! Policies of system calls as programs for seccomp(2).
//!
//! A policy has rules in an order, and the first that matches a call decides. A
//! filter of seccompiler has rules in no order and one action for all of them. So
//! rules with the same action become one filter, and the program is their programs
//! one behind the other: where a filter would return its action for what doesn't
//! match, the program goes on with the next one.
//!
//! Several filters in one process would not do: of their actions the kernel takes
//! the most restrictive one, whatever the order, and the first filter would have to
//! admit what installs the others.

use rustler::{Env, Term};

/// Compiles a policy.
///
/// `{ok, Program}`, `{error, {unknown_syscall, [Name]}}`, `{error, too_large}`, `{error,
/// unsupported}`, or `{'$badarg', Term}` with the part of the policy that is none.
pub fn compile<'a>(env: Env<'a>, policy: Term<'a>) -> Term<'a> {
    platform::compile(env, policy)
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use crate::terms;
    use rustler::{Encoder, Env, Term};

    pub fn compile<'a>(env: Env<'a>, _policy: Term<'a>) -> Term<'a> {
        (terms::error(), super::atoms::unsupported()).encode(env)
    }
}

mod atoms {
    rustler::atoms! {
        unsupported,
        unknown_syscall,
        too_large,
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use super::atoms;
    use crate::terms;
    use alcove_proto::constants::{self, Group};
    use alcove_proto::errno;
    use rustler::types::tuple::get_tuple;
    use rustler::{Encoder, Env, MapIterator, Term};
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, TargetArch, sock_filter,
    };
    use std::collections::BTreeMap;
    use std::env::consts::ARCH;

    /// BPF_MAXINSNS. Every system call and every condition of a rule takes more than one
    /// instruction, so that a policy with more of them needn't be read to its end.
    const LONGEST: usize = 4096;

    /// The first number that is none of this architecture. On x86_64, numbers from here on are
    /// those of x32, by which every rule could be got round.
    const FOREIGN: u32 = 0x4000_0000;

    /// What stands for "go on" in the program of one filter: no policy has this action.
    const GO_ON: SeccompAction = SeccompAction::Trace(0);

    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
    const JUMP_FROM: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

    /// Why a policy can't be compiled.
    enum Refused<'a> {
        /// This part of it has the wrong shape.
        Shape(Term<'a>),
        /// These system calls are none here.
        Unknown(Vec<Term<'a>>),
        TooLarge,
        Unsupported,
    }

    impl Refused<'_> {
        fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
            let reason = match self {
                Refused::Shape(part) => return (terms::badarg(), part).encode(env),
                Refused::Unknown(names) => (atoms::unknown_syscall(), names).encode(env),
                Refused::TooLarge => atoms::too_large().encode(env),
                Refused::Unsupported => atoms::unsupported().encode(env),
            };
            (terms::error(), reason).encode(env)
        }
    }

    /// What else could be wrong with a filter is ruled out before there is one.
    impl From<BackendError> for Refused<'_> {
        fn from(error: BackendError) -> Self {
            match error {
                BackendError::InvalidTargetArch(_) => Refused::Unsupported,
                _ => Refused::TooLarge,
            }
        }
    }

    pub fn compile<'a>(env: Env<'a>, policy: Term<'a>) -> Term<'a> {
        match Policy::read(policy).and_then(|policy| policy.program()) {
            Ok(program) => (terms::ok(), terms::binary(env, &instructions(&program))).encode(env),
            Err(refused) => refused.encode(env),
        }
    }

    fn instructions(program: &[sock_filter]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of_val(program));
        for instruction in program {
            bytes.extend_from_slice(&instruction.code.to_ne_bytes());
            bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
            bytes.extend_from_slice(&instruction.k.to_ne_bytes());
        }
        bytes
    }

    struct Policy {
        default: SeccompAction,
        filters: Vec<Filter>,
    }

    /// Rules with one action, by the number of the system call. Without rules of its own, a
    /// system call matches whatever its arguments.
    struct Filter {
        action: SeccompAction,
        rules: BTreeMap<i64, Vec<SeccompRule>>,
    }

    impl Policy {
        fn read(policy: Term<'_>) -> Result<Policy, Refused<'_>> {
            let keys = MapIterator::new(policy).ok_or(Refused::Shape(policy))?;
            let (mut default, mut rules) = (None, None);
            for (key, value) in keys {
                match name(key).as_deref() {
                    Some("default") => default = Some(action(value)?),
                    Some("rules") => rules = Some(value),
                    _ => return Err(Refused::Shape(key)),
                }
            }
            let default = default.ok_or(Refused::Shape(policy))?;
            let mut policy = Policy {
                default,
                filters: Vec::new(),
            };
            if let Some(rules) = rules {
                policy.read_rules(rules)?;
            }
            Ok(policy)
        }

        fn read_rules<'a>(&mut self, rules: Term<'a>) -> Result<(), Refused<'a>> {
            let mut unknown = Vec::new();
            let mut size = 0;
            for rule in items(rules)? {
                let rule = Rule::read(rule)?;
                size += rule.calls.len() * (1 + rule.conditions.len());
                if size > LONGEST {
                    return Err(Refused::TooLarge);
                }
                for call in rule.calls {
                    match call {
                        Ok(number) => self.add(number, &rule.action, &rule.conditions),
                        Err(name) if unknown.contains(&name) => {}
                        Err(name) => unknown.push(name),
                    }
                }
            }
            if unknown.is_empty() {
                Ok(())
            } else {
                Err(Refused::Unknown(unknown))
            }
        }

        /// Adds a rule behind all others about this system call.
        fn add(&mut self, number: i64, action: &SeccompAction, conditions: &[SeccompCondition]) {
            // Rules about different calls may change places.
            let last = self
                .filters
                .iter()
                .rposition(|filter| filter.rules.contains_key(&number))
                .unwrap_or(0);
            let at = self.filters[last..]
                .iter()
                .position(|filter| filter.action == *action)
                .map_or(self.filters.len(), |at| last + at);
            if at == self.filters.len() {
                self.filters.push(Filter {
                    action: action.clone(),
                    rules: BTreeMap::new(),
                });
            }
            let filter = &mut self.filters[at];
            match SeccompRule::new(conditions.to_vec()) {
                Ok(rule) => match filter.rules.get_mut(&number) {
                    // It matches without conditions already.
                    Some(rules) if rules.is_empty() => {}
                    Some(rules) => rules.push(rule),
                    None => drop(filter.rules.insert(number, vec![rule])),
                },
                Err(_) => drop(filter.rules.insert(number, Vec::new())),
            }
        }

        fn program<'a>(self) -> Result<BpfProgram, Refused<'a>> {
            let arch = TargetArch::try_from(ARCH)?;
            let limit = self.limit();
            // Without rules it is what comes first in all of them: calls of another architecture
            // end the process.
            let mut program = part(BTreeMap::new(), SeccompAction::Allow, arch)?;
            program.extend([
                instruction(LOAD, 0, 0, 0),
                instruction(JUMP_FROM, 0, 1, limit),
                returns(SeccompAction::Errno(libc::ENOSYS as u32)),
            ]);
            for filter in self.filters {
                program.append(&mut part(filter.rules, filter.action, arch)?);
            }
            program.push(returns(self.default));
            if program.len() > LONGEST {
                return Err(Refused::TooLarge);
            }
            Ok(program)
        }

        /// The first number that answers ENOSYS.
        ///
        /// A policy that is about to refuse a system call which is newer than itself has no reason
        /// to say anything but what an older kernel would: programs know what to do then.
        fn limit(&self) -> u32 {
            if let SeccompAction::Allow | SeccompAction::Log = self.default {
                return FOREIGN;
            }
            let known = constants::all(Group::Syscall).map(|(_, number)| number);
            let ruled = self.filters.iter().flat_map(|filter| filter.rules.keys());
            let highest = known.chain(ruled.copied()).max().unwrap_or(0);
            u32::try_from(highest + 1).map_or(FOREIGN, |limit| limit.min(FOREIGN))
        }
    }

    /// The program of one filter, at the end of which those go on whom no rule matches.
    fn part(
        rules: BTreeMap<i64, Vec<SeccompRule>>,
        action: SeccompAction,
        arch: TargetArch,
    ) -> Result<BpfProgram, BackendError> {
        let mut part = BpfProgram::try_from(SeccompFilter::new(rules, GO_ON, action, arch)?)?;
        let go_on = returns(GO_ON);
        let length = part.len() as u32;
        for (left, instruction) in (0..length).rev().zip(&mut part) {
            if *instruction == go_on {
                *instruction = self::instruction(JUMP, 0, 0, left);
            }
        }
        Ok(part)
    }

    fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
        sock_filter { code, jt, jf, k }
    }

    fn returns(action: SeccompAction) -> sock_filter {
        instruction(RETURN, 0, 0, action.into())
    }

    struct Rule<'a> {
        /// Numbers, or names that are unknown.
        calls: Vec<Result<i64, Term<'a>>>,
        conditions: Vec<SeccompCondition>,
        action: SeccompAction,
    }

    impl<'a> Rule<'a> {
        /// `Call | {Calls, Action} | {Calls, Conditions} | {Calls, Conditions, Action}`
        fn read(term: Term<'a>) -> Result<Self, Refused<'a>> {
            let shape = |_| Refused::Shape(term);
            let (calls, conditions, action) = if term.is_tuple() {
                match get_tuple(term).map_err(shape)?[..] {
                    [calls, conditions] if conditions.is_list() => (calls, Some(conditions), None),
                    [calls, action] => (calls, None, Some(action)),
                    [calls, conditions, action] => (calls, Some(conditions), Some(action)),
                    _ => return Err(Refused::Shape(term)),
                }
            } else {
                (term, None, None)
            };
            let calls = if term.is_tuple() && calls.is_list() {
                items(calls)?.into_iter().map(call).collect()
            } else {
                call(calls).map(|call| vec![call])
            };
            let conditions = conditions.map_or(Ok(Vec::new()), items)?;
            Ok(Rule {
                calls: calls?,
                conditions: conditions
                    .into_iter()
                    .map(condition)
                    .collect::<Result<_, _>>()?,
                action: action.map_or(Ok(SeccompAction::Allow), self::action)?,
            })
        }
    }

    /// A list that could be part of a program.
    fn items(list: Term<'_>) -> Result<Vec<Term<'_>>, Refused<'_>> {
        let mut items = Vec::new();
        let mut rest = list;
        while let Ok((head, tail)) = rest.list_get_cell() {
            if items.len() == LONGEST {
                return Err(Refused::TooLarge);
            }
            items.push(head);
            rest = tail;
        }
        if rest.is_empty_list() {
            Ok(items)
        } else {
            Err(Refused::Shape(list))
        }
    }

    fn name(term: Term<'_>) -> Option<String> {
        term.is_atom()
            .then(|| term.atom_to_string().unwrap_or_default())
    }

    /// The number of a system call; the name where it has none here.
    fn call(term: Term<'_>) -> Result<Result<i64, Term<'_>>, Refused<'_>> {
        match name(term) {
            Some(name) => Ok(constants::lookup(Some(Group::Syscall), &name).ok_or(term)),
            None => match term.decode::<u32>() {
                Ok(number) if number < FOREIGN => Ok(Ok(i64::from(number))),
                _ => Err(Refused::Shape(term)),
            },
        }
    }

    fn action(term: Term<'_>) -> Result<SeccompAction, Refused<'_>> {
        let action = match name(term).as_deref() {
            Some("allow") => Some(SeccompAction::Allow),
            Some("log") => Some(SeccompAction::Log),
            Some("trap") => Some(SeccompAction::Trap),
            Some("kill" | "kill_process") => Some(SeccompAction::KillProcess),
            Some("kill_thread") => Some(SeccompAction::KillThread),
            _ => match get_tuple(term).as_deref() {
                Ok([kind, number]) if name(*kind).as_deref() == Some("errno") => {
                    error_number(*number).map(SeccompAction::Errno)
                }
                _ => None,
            },
        };
        action.ok_or(Refused::Shape(term))
    }

    /// The kernel makes [`errno::MAX`] of larger numbers.
    fn error_number(term: Term<'_>) -> Option<u32> {
        let number = match name(term) {
            Some(wanted) => (1..=errno::MAX).find(|n| errno::name(*n) == Some(&*wanted)),
            None => term.decode::<u32>().ok()?.try_into().ok(),
        };
        number.filter(|n| *n <= errno::MAX).map(u32::from)
    }

    /// `{Argument, Operator, Value, Bits}`
    fn condition(term: Term<'_>) -> Result<SeccompCondition, Refused<'_>> {
        let read = || {
            let [argument, operator, value, bits] = get_tuple(term).ok()?[..] else {
                return None;
            };
            let length = match bits.decode::<u32>().ok()? {
                32 => SeccompCmpArgLen::Dword,
                64 => SeccompCmpArgLen::Qword,
                _ => return None,
            };
            let operator = match (name(operator).as_deref(), get_tuple(operator).as_deref()) {
                (Some("eq"), _) => SeccompCmpOp::Eq,
                (Some("ne"), _) => SeccompCmpOp::Ne,
                (Some("lt"), _) => SeccompCmpOp::Lt,
                (Some("le"), _) => SeccompCmpOp::Le,
                (Some("gt"), _) => SeccompCmpOp::Gt,
                (Some("ge"), _) => SeccompCmpOp::Ge,
                (_, Ok([kind, mask])) if name(*kind).as_deref() == Some("masked_eq") => {
                    SeccompCmpOp::MaskedEq(word(*mask, &length)?)
                }
                _ => return None,
            };
            let value = word(value, &length)?;
            let argument = argument.decode::<u32>().ok()?.try_into().ok()?;
            SeccompCondition::new(argument, length, operator, value).ok()
        };
        read().ok_or(Refused::Shape(term))
    }

    /// A number of so many bits; a negative one is its complement.
    fn word(term: Term<'_>, length: &SeccompCmpArgLen) -> Option<u64> {
        match length {
            SeccompCmpArgLen::Dword => {
                let negative = || term.decode::<i32>().map(|number| number as u32);
                term.decode::<u32>().or_else(|_| negative()).map(u64::from)
            }
            SeccompCmpArgLen::Qword => {
                let negative = || term.decode::<i64>().map(|number| number as u64);
                term.decode::<u64>().or_else(|_| negative())
            }
        }
        .ok()
    }
}
