# bash completion for cairn. Commands and options are asked of the program itself, so this file cannot
# fall behind; keys are asked of the server, if one answers within a second.

_cairn_commands() {
    cairn help 2>/dev/null | sed -n 's/^  \([a-z]*\)  *[a-z].*/\1/p' | grep -vx cairn
}

_cairn_options() {
    if [ "$1" = serve ]; then
        cairn serve --help 2>/dev/null
    else
        cairn help "$1" 2>/dev/null
    fi | grep -oE '^  --[a-z_.-]+' | tr -d ' '
}

_cairn() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_cairn_commands)" -- "$word")
        return
    fi
    case $before in
    --file | --output | --ca | --config | --tls.certificate | --tls.key)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    --data | --storage.path)
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        return
        ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_cairn_options "$command")" -- "$word")
        return
    fi
    case $command in
    help)
        mapfile -t COMPREPLY < <(compgen -W "$(_cairn_commands)" -- "$word")
        ;;
    import | export | restore)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        ;;
    get | set | append | del | incr | ls | watch)
        mapfile -t COMPREPLY < <(cairn ls "$word" --limit 50 --timeout 1s 2>/dev/null)
        ;;
    esac
}

complete -o default -F _cairn cairn
