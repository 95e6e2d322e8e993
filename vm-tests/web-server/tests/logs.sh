#!/bin/sh
# A request is logged. The log is saved with the results.
command -v curl >/dev/null || { echo "curl is not installed"; exit 77; }
curl --silent --fail --output /dev/null http://localhost/ || exit 1
cp /var/log/nginx/access.log "$ISTER_RESULTS"
grep curl /var/log/nginx/access.log
