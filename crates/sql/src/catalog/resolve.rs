//! Lets effects flow from what is used to what uses it, until nothing changes.

use std::collections::BTreeMap;

use super::builder::{Caller, CatalogBuilder, Object, Oid, Target};
use super::{ByName, Catalog};
use crate::builtin;
use crate::class::{Class, Why};
use crate::facts::Facts;

/// Objects that call what we do not know may write.
const UNKNOWN: Facts = Facts::new(Class::Write, Why::UnknownFunction);
/// Views over what we do not know (relations made since, of other sessions) may write.
const UNKNOWN_RELATION: Facts = Facts::new(Class::Write, Why::UnknownRelation);

/// Makes the catalog of what was gathered.
pub(crate) fn resolve(mut builder: CatalogBuilder, version: u64) -> Catalog {
    settle_functions(&mut builder);
    settle_types(&mut builder);
    settle_relations(&mut builder);
    let mut always = Facts::READ;
    for (caller, target) in &builder.calls {
        if *caller == Caller::Always {
            always = always.or(called(&builder.functions, target));
        }
    }
    let operators = builder.operators.iter().map(|(schema, name, target)| {
        let facts = called(&builder.functions, target);
        if is_implied(name) {
            always = always.or(facts);
        }
        (schema.clone(), name.clone(), facts)
    });
    let operators = by_name(operators.collect());
    let builtin_casts =
        builder.types.iter().filter(|(oid, _)| **oid < FIRST_USER_OID).map(|(_, own)| own.facts);
    Catalog {
        version,
        sets: builder.sets,
        assumes_tables: builder.assumes_tables,
        any_type: builder.types.values().map(|own| own.facts).fold(Facts::READ, Facts::or),
        builtin_casts: builtin_casts.fold(Facts::READ, Facts::or),
        row_functions: by_name(row_functions(&builder)),
        functions: by_name(builder.functions.into_values().map(named).collect()),
        relations: by_name(builder.relations.into_values().map(named).collect()),
        types: by_name(builder.types.into_values().map(named).collect()),
        operators,
        overrides: builder.overrides,
        always,
    }
}

/// `FirstNormalObjectId`: what has a lower oid came with the server.
const FIRST_USER_OID: Oid = 16_384;

/// Operators that clauses call without naming them: IN, BETWEEN, CASE, DISTINCT, GROUP BY, ORDER BY, LIKE and joins.
fn is_implied(operator: &str) -> bool {
    matches!(
        operator,
        "=" | "<>" | "<" | "<=" | ">" | ">=" | "~~" | "!~~" | "~~*" | "!~~*" | "~" | "!~"
    )
}

fn named(object: Object) -> (Box<str>, Box<str>, Facts) {
    (object.schema, object.name, object.facts)
}

fn row_functions(builder: &CatalogBuilder) -> Vec<(Box<str>, Box<str>, Facts)> {
    let found = builder.takes_row.iter().filter_map(|oid| builder.functions.get(oid));
    found.map(|own| (own.schema.clone(), own.name.clone(), own.facts)).collect()
}

fn by_name(objects: Vec<(Box<str>, Box<str>, Facts)>) -> ByName {
    let mut names = ByName::new();
    for (schema, name, facts) in objects {
        let owners = names.entry(name).or_default();
        match owners.iter_mut().find(|(owner, _)| *owner == schema) {
            Some((_, known)) => *known = known.or(facts),
            None => owners.push((schema, facts)),
        }
    }
    names
}

fn called(functions: &BTreeMap<Oid, Object>, target: &Target) -> Facts {
    match functions.get(&target.oid) {
        Some(own) => own.facts,
        None if &*target.schema == "pg_catalog" => builtin_called(&target.name),
        None if &*target.schema == "information_schema" => Facts::READ,
        None => UNKNOWN,
    }
}

/// Functions of the server that no query can call by name (cast and support functions on internal types) are not listed;
/// those that do anything but compute are.
fn builtin_called(name: &str) -> Facts {
    builtin::function(name).unwrap_or(UNKNOWN)
}

/// Raises an object; says whether that changed it.
fn raise(objects: &mut BTreeMap<Oid, Object>, oid: Oid, facts: Facts) -> bool {
    objects.get_mut(&oid).is_some_and(|own| {
        let joined = own.facts.or(facts);
        std::mem::replace(&mut own.facts, joined) != joined
    })
}

/// Defaults of arguments and the parts of aggregates run with the function.
fn settle_functions(builder: &mut CatalogBuilder) {
    apply_overrides(builder);
    loop {
        let mut changed = false;
        for (caller, target) in &builder.calls {
            if let Caller::Function(oid) = caller {
                let facts = called(&builder.functions, target);
                changed |= raise(&mut builder.functions, *oid, facts);
            }
        }
        if !changed {
            return;
        }
    }
}

/// What config says of a function also holds where views and policies call it.
fn apply_overrides(builder: &mut CatalogBuilder) {
    for own in builder.functions.values_mut() {
        let qualified = builder.overrides.get(format!("{}.{}", own.schema, own.name).as_str());
        if let Some(facts) = qualified.or_else(|| builder.overrides.get(&own.name)) {
            own.facts = *facts;
        }
    }
}

/// Checks of domains and functions of casts run wherever a value becomes the type, also within another type.
fn settle_types(builder: &mut CatalogBuilder) {
    for (caller, target) in &builder.calls {
        if let Caller::Type(oid) = caller {
            let facts = called(&builder.functions, target);
            if facts.class > Class::Read {
                raise(&mut builder.types, *oid, facts.because(Why::UnknownType));
            }
        }
    }
    loop {
        let mut changed = false;
        for (whole, part) in &builder.type_parts {
            if let Some(facts) = builder.types.get(part).map(|own| own.facts) {
                changed |= raise(&mut builder.types, *whole, facts);
            }
        }
        if !changed {
            return;
        }
    }
}

fn settle_relations(builder: &mut CatalogBuilder) {
    for (caller, target) in &builder.calls {
        let (oid, why) = match caller {
            Caller::Relation(oid) => (*oid, Why::VolatileView),
            Caller::Policy(oid) => (*oid, Why::RowSecurity),
            Caller::Column(oid) => (*oid, Why::UnknownType),
            Caller::Function(_) | Caller::Type(_) | Caller::Always => continue,
        };
        let facts = called(&builder.functions, target);
        let facts = if facts.class > Class::Read { facts.because(why) } else { facts };
        raise(&mut builder.relations, oid, facts);
    }
    loop {
        let mut changed = false;
        for (oid, target) in &builder.reads {
            let facts = match builder.relations.get(&target.oid) {
                Some(own) => own.facts,
                None => system_relation(target),
            };
            changed |= raise(&mut builder.relations, *oid, facts);
        }
        if !changed {
            return;
        }
    }
}

fn system_relation(target: &Target) -> Facts {
    match &*target.schema {
        "pg_catalog" => builtin::relation(&target.name).unwrap_or(UNKNOWN_RELATION),
        "information_schema" => Facts::READ,
        _ => UNKNOWN_RELATION,
    }
}
