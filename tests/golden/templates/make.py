"""What transformers makes of chat templates: pip install transformers==5.24.0 jinja2==3.1.6; python make.py [--check]

The templates are written here; each has what published ones have: tags for masks, dates, arguments, macros, namespaces,
slices, methods of Python's str and dict, `tojson`. With a folder as last argument, its *.jinja files are rendered as well
and written to the file behind it: for templates that may not stand in this repository.
"""
import datetime
import json
import pathlib
import sys

from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
DATE = datetime.datetime(2026, 11, 24)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return DATE


chat_template_utils.datetime = Clock

CHATS = [
    [{"role": "user", "content": "What is 1+1?"}],
    [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Solve <x> & 'y'\n\n  x² = 4"}],
    [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello!  "},
        {"role": "user", "content": "And 2+2? éß"},
    ],
    [{"role": "assistant", "content": "First"}, {"role": "user", "content": ""}],
]

TEMPLATES = {
    # a block for masks, with variables of its own
    "generation": """{%- set ns = namespace(n=0) -%}
{% for m in messages %}
{% if m.role == 'assistant' %}
<a>{% generation %}{% set n = 5 %}{% set ns.n = ns.n + 1 %}{{ m.content }}</a>{%- endgeneration -%}

{% else %}
<{{ m.role[0] }}>{{ m.content }}</{{ m.role[0] }}>
{% endif %}
{% endfor %}
{{ n is defined }}{{ ns.n }}{% if add_generation_prompt %}<a>{% endif %}
""",
    "date": """{%- if strftime_now is defined %}{%- set date = strftime_now("%d %b %Y") %}{%- else %}{%- set date = "26 Jul 2024" %}{%- endif %}
{{- bos_token + "<|head|>system<|end|>\\n\\nToday: " + date + "\\n" + strftime_now('%B %d, %Y') + strftime_now(' %A %Y-%m-%d') }}
{% for message in messages %}{{- '<|head|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + eos_token }}{% endfor %}
""",
    "thinking": """{%- if messages[0].role == 'system' %}{{- messages[0].content }}{%- endif %}
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last or loop.last %}{{- '[' + reasoning.strip('\\n') + ']' }}{%- endif %}
    {%- endif %}
    {{- '<|' + message.role.capitalize() + '|>' + content.strip() + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|Assistant|>' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    "alternating": """{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{% endif %}
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% endif %}
{% endfor %}
""",
    "methods": """{% for m in messages %}{% set c = m['content'] %}
{{ c.title() }}|{{ c.upper() }}|{{ c.lower() }}|{{ c.swapcase() }}|{{ c.capitalize() }}|{{ c.split() }}|{{ c.split(' ', 1) }}
{{ c.rsplit(' ', 1) }}|{{ c.partition('i') | list }}|{{ c.rpartition('i') | list }}|{{ c.find('i') }}|{{ c.rfind('i') }}|{{ c.count('i') }}
{{ c.replace('i', 'ii', 1) }}|{{ c.removeprefix('W') }}|{{ c.removesuffix('?') }}|{{ c.ljust(4, '.') }}|{{ c.center(21, '*') }}|{{ c.rjust(21) }}
{{ c.isdigit() }}{{ c.isalpha() }}{{ c.isspace() }}{{ c.isupper() }}{{ c.islower() }}|{{ ', '.join(['a', c]) }}|{{ c.splitlines() }}
{{ c.startswith(('W', 'H')) }}|{{ m.items() | list }}|{{ m.keys() | list }}|{{ m.get('name') }}|{{ m.get('name', 'x') }}
{% endfor %}""",
    "values": """{{ messages | tojson }}
{{ {'a': [1, 2.5, none, true], 'é': '<b>"\\\\'} | tojson(indent=4) }}
{{ {'b': 1, 'a': []} | tojson(sort_keys=true, ensure_ascii=true, separators=(',', ':')) }}
{{ true }} {{ none }} {{ [1, 'a', none] }} {{ 3 / 2 }} {{ 7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 }} {{ 'a' ~ 1 ~ true }} {{ messages[0].name }}|
{{ 'x' is iterable }}{{ 'x' is sequence }}{{ {} is mapping }}{{ [] is sequence }}{{ none is iterable }}{{ messages is iterable }}
{{ tools is none }}{{ documents is defined }}{{ enable_thinking }}{{ add_generation_prompt }}
{{ messages | map(attribute='role') | join(', ') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{ (messages | last).content | length }} {{ messages[1:] | length }} {{ 'a\\nb' | indent(2) }} {{ messages | rejectattr('role', 'equalto', 'user') | list | length }}
""",
    "macros": """{%- macro part(name, text, open='<') -%}
{{ open ~ name ~ '>' }}{{ caller() if caller is defined else text | trim }}
{%- endmacro -%}
{%- for m in messages if m.role != 'system' -%}
{%- call part(m.role, m.content) -%}!{{ m.content | upper | replace('I', '1') }}{%- endcall -%}
{{ part(m.role, m.content, open='[') }}
{%- if loop.first %} first{% endif %}{% if loop.last %} last{% endif %}{% if loop.previtem is defined %} {{ loop.previtem.role }}{% endif %}
{{ loop.cycle('odd', 'even') }} {% break %}
{%- endfor %}
{% set text %}a{{ messages | length }}{% endset %}{{ text }}{# a comment #}

""",
}

ARGUMENTS = {"enable_thinking": False}


def render(template, messages):
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[messages],
            chat_template=template,
            add_generation_prompt=True,
            bos_token="<s>",
            eos_token="</s>",
            **ARGUMENTS,
        )
    except Exception as error:  # what a template raises, or cannot do
        return {"error": str(error)}
    return {"text": rendered[0]}


def cases(templates):
    return [
        {"name": name, "template": template, "messages": messages} | render(template, messages)
        for name, template in templates.items()
        for messages in CHATS
    ]


def text(templates):
    page = {"date": DATE.strftime("%Y-%m-%d"), "arguments": ARGUMENTS, "cases": cases(templates)}
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 2:
        folder = pathlib.Path(sys.argv[1])
        others = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.jinja"))}
        pathlib.Path(sys.argv[2]).write_text(text(others))
    elif "--check" in sys.argv:
        assert (HERE / "cases.json").read_text() == text(TEMPLATES), "cases.json is not what this program writes"
    else:
        (HERE / "cases.json").write_text(text(TEMPLATES))
