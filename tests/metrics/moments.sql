-- The moments of metrics/moments.py from rows(group_key, stratum, user_key, value): a row an eligible response,
-- value null where it was not judged. Grain: group_key and stratum; columns from `users` on are the group's, repeated.
-- Sums only: one pass over the rows, the rest over users and strata. user_key is never null: coalesce it to a session.

with parts as (  -- a user's responses of one stratum

    select
        group_key,
        stratum,
        user_key,
        count(*)::double as population,
        count(value)::double as n,
        coalesce(sum(value), 0)::double as total,
        coalesce(sum(value * value), 0)::double as total_squares
    from rows
    group by group_key, stratum, user_key

),

strata as (

    select
        group_key,
        stratum,
        sum(population) as population,
        sum(n) as n,
        sum(total) as total,
        sum(total_squares) as total_squares,
        sum(n * n) as size_squares,
        sum(total) / nullif(sum(n), 0) as mean
    from parts
    group by group_key, stratum

),

groups as (

    select
        group_key,
        sum(population) as population,
        sum(population * mean) / sum(population) filter (where n > 0) as mean
    from strata
    group by group_key

),

rates as (  -- what one judged response, and one response at all, moves the estimate

    select
        strata.group_key,
        strata.stratum,
        coalesce(strata.mean, 0) as mean,
        coalesce(strata.population / groups.population / nullif(strata.n, 0), 0) as per_judged,
        coalesce(strata.mean - groups.mean, 0) / groups.population as per_response
    from strata
    inner join groups using (group_key)

),

residuals as (

    select
        parts.group_key,
        parts.stratum,
        parts.user_key,
        parts.total - rates.mean * parts.n as residual,
        parts.n * rates.per_judged as weight,
        (parts.total - rates.mean * parts.n) * rates.per_judged as within_part,
        parts.population * rates.per_response as between_part
    from parts
    inner join rates using (group_key, stratum)

),

stratum_squares as (

    select group_key, stratum, sum(residual * residual) as residual_squares
    from residuals
    group by group_key, stratum

),

users as (

    select
        group_key,
        user_key,
        sum(weight) as weight,
        sum(within_part + between_part) as influence
    from residuals
    group by group_key, user_key

),

group_squares as (

    select
        group_key,
        count(*) filter (where weight > 0)::double as users,
        sum(weight * weight) as weight_squares,
        sum(influence * influence) as influence_squares,
        sum(influence * influence * influence * influence) as influence_fourths
    from users
    group by group_key

),

final as (

    select
        strata.group_key,
        strata.stratum,
        strata.population,
        strata.n,
        strata.total,
        strata.total_squares,
        strata.size_squares,
        stratum_squares.residual_squares,
        group_squares.users,
        group_squares.weight_squares,
        group_squares.influence_squares,
        group_squares.influence_fourths
    from strata
    inner join stratum_squares using (group_key, stratum)
    inner join group_squares using (group_key)

)

select * from final
order by group_key, stratum
