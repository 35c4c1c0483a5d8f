{%- set keys = {"responses": "response_id", "actions": "event_id", "labels": "event_id", "verdicts": "event_id"} -%}
{% for table, key in keys.items() %}
select
    day,
    '{{ table }}' as table_name,
    count(*) as arrived,
    count(distinct {{ key }}) as kept,
    count(*) - count(distinct {{ key }}) as duplicates
from {{ source("tick", table) }}
group by day
{% if not loop.last %}union all{% endif %}
{%- endfor %}
