# The table in README.md: it ends the file, and a row begins with the rule and the fault of a patch.
table=tests/rules/README.md

heading() { sed '/^| ---/q' "$table"; }
rows() { sed '1,/^| ---/d' "$table"; }
# The first two columns of the row of a fault.
key() { echo "| $(field Rule "$1") | $(field Fault "$1") |"; }
field() { sed -n "s/^$1: //p" "$2"; }
