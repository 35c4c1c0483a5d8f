{# Without duplicates: of each key the first by arrival, then by place in the log. #}
{% macro first_rows(relation, key) %}
    select *
    from {{ relation }}
    qualify row_number() over (partition by {{ key }} order by received_at, log_segment, log_offset) = 1
{% endmacro %}
