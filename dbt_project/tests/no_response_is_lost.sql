{{ config(meta={"dagster": {"ref": {"name": "response_facts"}}}) }}
-- Every response of the lake's touched days stands in response_facts, once.
select arrivals.day, arrivals.kept, count(facts.response_id) as rows_in_facts
from {{ ref("arrivals") }} as arrivals
left join {{ ref("response_facts") }} as facts using (day)
where arrivals.table_name = 'responses'
    and day in (select day from tick.days)
group by all
having arrivals.kept <> rows_in_facts
