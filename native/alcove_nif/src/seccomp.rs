//! Policies of system calls as programs for seccomp(2).
//!
//! The rules of a policy are ordered, and the first that matches a call decides. A
//! filter of seccompiler has rules in no order and one action for all of them. So
//! rules with the same action become one filter, and the program is the concatenation
//! of their programs. Where a filter would return its action for a call that doesn't
//! match, the program goes on with the next filter.
//!
//! Several filters in one process would not work: the kernel takes the most
//! restrictive of their actions, whatever the order, and the first filter would have
//! to allow the calls that install the others.

use rustler::{Env, Term};

/// Compiles a policy for an architecture, `native` or the name of one.
///
/// `{ok, Program}`, `{error, {unknown_syscall, [Name]}}`, `{error, too_large}`, `{error,
/// unsupported}`, or `{'$badarg', Term}` with the part of the policy that is none.
pub fn compile<'a>(env: Env<'a>, policy: Term<'a>, arch: Term<'a>) -> Term<'a> {
    platform::compile(env, policy, arch)
}

/// What a name means on an architecture: a number, `elsewhere` if only other architectures have
/// such a call, or `unknown`.
pub fn number<'a>(env: Env<'a>, name: Term<'a>, arch: Term<'a>) -> Term<'a> {
    platform::number(env, name, arch)
}

/// The names of an architecture's system calls and their numbers.
pub fn calls<'a>(env: Env<'a>, arch: Term<'a>) -> Term<'a> {
    platform::calls(env, arch)
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use crate::terms;
    use rustler::{Encoder, Env, Term};

    pub fn compile<'a>(env: Env<'a>, _policy: Term<'a>, _arch: Term<'a>) -> Term<'a> {
        (terms::error(), super::atoms::unsupported()).encode(env)
    }

    pub fn number<'a>(env: Env<'a>, _name: Term<'a>, _arch: Term<'a>) -> Term<'a> {
        terms::unknown().encode(env)
    }

    pub fn calls<'a>(env: Env<'a>, _arch: Term<'a>) -> Term<'a> {
        Term::list_new_empty(env)
    }
}

mod atoms {
    rustler::atoms! {
        unsupported,
        unknown_syscall,
        too_large,
        elsewhere,
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use super::atoms;
    use crate::terms;
    use alcove_proto::errno;
    use alcove_proto::syscalls::{self, Arch};
    use rustler::types::tuple::get_tuple;
    use rustler::{Atom, Encoder, Env, MapIterator, Term};
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, TargetArch, sock_filter,
    };
    use std::collections::BTreeMap;

    /// BPF_MAXINSNS. Every system call and every condition of a rule takes more than one
    /// instruction, so a policy with more of them is refused without reading it to its end.
    const LONGEST: usize = 4096;

    /// The first number that doesn't belong to this architecture. On x86_64, numbers from here on
    /// are those of x32, with which a program could evade every rule.
    const FOREIGN: u32 = 0x4000_0000;

    /// Stands for "go on" in the program of one filter: no policy has this action.
    const GO_ON: SeccompAction = SeccompAction::Trace(0);

    /// The instructions with which seccompiler begins each program: its check of the architecture.
    /// They are cut off, since seccompiler knows fewer architectures than this module.
    const ARCH_CHECK: usize = 3;
    const SECCOMPILERS_ARCH: TargetArch = TargetArch::x86_64;

    /// Offsets in struct seccomp_data.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;

    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
    const JUMP_FROM: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const JUMP_IF: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

    /// Why a policy can't be compiled.
    enum Refused<'a> {
        /// This part of it has the wrong shape.
        Shape(Term<'a>),
        /// There are no system calls of these names.
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

    /// Other errors of seccompiler can't happen, since a policy is checked before.
    impl From<BackendError> for Refused<'_> {
        fn from(_: BackendError) -> Self {
            Refused::TooLarge
        }
    }

    pub fn compile<'a>(env: Env<'a>, policy: Term<'a>, arch: Term<'a>) -> Term<'a> {
        let program = match architecture(arch) {
            Some(arch) => Policy::read(policy, arch).and_then(Policy::program),
            // A policy of the wrong shape is an error on every architecture.
            None => match Policy::read(policy, Arch::X86_64) {
                Err(Refused::Shape(part)) => Err(Refused::Shape(part)),
                _ => Err(Refused::Unsupported),
            },
        };
        match program {
            Ok(program) => (terms::ok(), terms::binary(env, &instructions(&program))).encode(env),
            Err(refused) => refused.encode(env),
        }
    }

    pub fn number<'a>(env: Env<'a>, call: Term<'a>, arch: Term<'a>) -> Term<'a> {
        let Some(name) = name(call).map(|name| name.to_ascii_lowercase()) else {
            return terms::unknown().encode(env);
        };
        let name = syscalls::bare(&name);
        match architecture(arch).and_then(|arch| arch.lookup(name)) {
            Some(number) => number.encode(env),
            None if syscalls::is_known(name) => atoms::elsewhere().encode(env),
            None => terms::unknown().encode(env),
        }
    }

    pub fn calls<'a>(env: Env<'a>, arch: Term<'a>) -> Term<'a> {
        let calls = architecture(arch).map_or(&[][..], Arch::calls);
        let named = calls
            .iter()
            .filter_map(|(name, number)| Some((Atom::from_str(env, name).ok()?, *number)));
        named.collect::<Vec<_>>().encode(env)
    }

    fn architecture(term: Term<'_>) -> Option<Arch> {
        match name(term)?.as_str() {
            "native" => Arch::here(),
            name => Arch::named(name),
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
        arch: Arch,
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
        fn read(policy: Term<'_>, arch: Arch) -> Result<Policy, Refused<'_>> {
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
                arch,
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
                let rule = Rule::read(rule, self.arch)?;
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
            // Rules about different calls may be reordered.
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
                    // The call matches without conditions already.
                    Some(rules) if rules.is_empty() => {}
                    Some(rules) => rules.push(rule),
                    None => drop(filter.rules.insert(number, vec![rule])),
                },
                Err(_) => drop(filter.rules.insert(number, Vec::new())),
            }
        }

        fn program<'a>(self) -> Result<BpfProgram, Refused<'a>> {
            let mut program = vec![
                // Calls of another architecture end the process.
                instruction(LOAD, 0, 0, ARCHITECTURE),
                instruction(JUMP_IF, 1, 0, self.arch.audit()),
                returns(SeccompAction::KillProcess),
                instruction(LOAD, 0, 0, NUMBER),
            ];
            let enosys = returns(SeccompAction::Errno(libc::ENOSYS as u32));
            if let Some(private) = self.arch.private() {
                program.extend([
                    instruction(JUMP_FROM, 0, 1, private.end),
                    enosys.clone(),
                    instruction(JUMP_FROM, 2, 0, private.start),
                ]);
            }
            program.extend([instruction(JUMP_FROM, 0, 1, self.limit()), enosys]);
            for filter in self.filters {
                program.append(&mut part(filter.rules, filter.action)?);
            }
            program.push(returns(self.default));
            if program.len() > LONGEST {
                return Err(Refused::TooLarge);
            }
            Ok(program)
        }

        /// The first number that answers ENOSYS.
        ///
        /// If a policy refuses a system call that is newer than the policy, it should answer as an
        /// older kernel would: programs know what to do then.
        fn limit(&self) -> u32 {
            if let SeccompAction::Allow | SeccompAction::Log = self.default {
                return FOREIGN;
            }
            let private = self.arch.private().map_or(FOREIGN, |private| private.start);
            let known = self.arch.calls().iter().map(|(_, number)| *number);
            let ruled = self.filters.iter().flat_map(|filter| filter.rules.keys());
            let ruled = ruled.filter_map(|number| u32::try_from(*number).ok());
            let common = known.chain(ruled).filter(|number| *number < private);
            common.max().map_or(0, |highest| highest + 1)
        }
    }

    /// The program of one filter. Calls that match no rule go on after its end.
    fn part(
        rules: BTreeMap<i64, Vec<SeccompRule>>,
        action: SeccompAction,
    ) -> Result<BpfProgram, BackendError> {
        let filter = SeccompFilter::new(rules, GO_ON, action, SECCOMPILERS_ARCH)?;
        let mut part = BpfProgram::try_from(filter)?.split_off(ARCH_CHECK);
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
        fn read(term: Term<'a>, arch: Arch) -> Result<Self, Refused<'a>> {
            let call = |term| call(term, arch);
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

    /// The number of a system call; its name if it has no number on this architecture.
    fn call(term: Term<'_>, arch: Arch) -> Result<Result<i64, Term<'_>>, Refused<'_>> {
        match name(term).map(|name| name.to_ascii_lowercase()) {
            Some(name) => {
                let number = arch.lookup(syscalls::bare(&name));
                Ok(number.map(i64::from).ok_or(term))
            }
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
