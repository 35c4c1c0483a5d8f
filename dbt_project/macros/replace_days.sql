{# An incremental model replaces whole touched days: what a day holds is a function of that day's files alone. #}
{% macro get_incremental_replace_days_sql(arg_dict) %}
    {%- set columns = arg_dict["dest_columns"] | map(attribute="quoted") | join(", ") -%}
    delete from {{ arg_dict["target_relation"] }} where day in {{ touched_days() }};
    insert into {{ arg_dict["target_relation"] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }}
{% endmacro %}

{# A week stands on its Monday, and is replaced whole when one of its days is touched. #}
{% macro get_incremental_replace_weeks_sql(arg_dict) %}
    {%- set columns = arg_dict["dest_columns"] | map(attribute="quoted") | join(", ") -%}
    delete from {{ arg_dict["target_relation"] }} where day in (select date_trunc('week', day)::date from {{ touched_days() }});
    insert into {{ arg_dict["target_relation"] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }}
{% endmacro %}

{# Schemas are named plainly: staging and marts, without the target's prefix. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}

{# The days this run builds, as a subquery with the column `day`. A macro, so that a unit test can say which. #}
{% macro touched_days() -%}
    (select day from tick.days)
{%- endmacro %}

{# All days of the calendar weeks (from Monday) that these days lie in. #}
{% macro days_of_touched_weeks() -%}
    (select distinct date_trunc('week', day)::date + n::int as day from {{ touched_days() }}, range(7) as numbers(n))
{%- endmacro %}
